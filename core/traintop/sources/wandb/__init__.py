"""W&B run files (`.wandb`), read without wandb or protobuf."""
