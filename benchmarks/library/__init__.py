"""The library itself: how easy it is to read, and which faults it survives."""
