"""Replay: each request through the shadow; its answer and the live one become a comparison."""
