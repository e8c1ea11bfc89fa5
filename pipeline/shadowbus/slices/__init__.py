"""The search for slices of requests for which the shadow is worse: found on one half, tested on the other."""
