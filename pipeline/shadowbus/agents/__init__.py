"""The agents: partials in, aggregates out, for people and dashboards. Runs on Faust."""
