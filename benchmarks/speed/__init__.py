"""Speed, memory, devices and clusters."""
