"""Verbs that change what a verdict leads to, or what it can rest on: promote, approve, send-back, label-queue."""
