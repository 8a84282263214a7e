"""The only thing that moves: commands change incidents, reactions follow, the step does what falls due."""
