"""What survives the process: the Optuna study, its storage, and the run folder."""
