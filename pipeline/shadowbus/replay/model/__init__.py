"""The sandbox: runs an untrusted model in processes of its own, and answers for it whatever it does."""
