"""What the feedback service last said of each theme: its state, its reasons and its evidence."""
