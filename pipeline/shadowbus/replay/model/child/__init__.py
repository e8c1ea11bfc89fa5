"""What runs in the model's processes: the fork server, and the worker it forks to predict."""
