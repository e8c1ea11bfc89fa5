"""Acts on a verdict: an alias of a registry, a command or a webhook, and a record of what was done."""
