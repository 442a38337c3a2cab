"""What `android` and `ios` have in common: fixed shapes, and a graph for a reduced build."""
