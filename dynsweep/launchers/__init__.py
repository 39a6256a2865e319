"""The border to Hydra: composed jobs become runs, which launchers and sweeper hand on."""
