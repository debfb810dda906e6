"""The promises S1 to S7, each as pure functions from what clients saw and what is stored."""
