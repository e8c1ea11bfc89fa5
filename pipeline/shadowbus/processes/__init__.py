"""Processes and their ends: groups that die together, restarts with pauses, clean stops on signals."""
