"""Long runs: a lock between processes, workers here or on a cluster, a folder that goes on where it was stopped."""
