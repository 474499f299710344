"""What plugins are given and what they promise: methods, kinds of noise, data sets."""
