"""Decoding, scaling and augmenting images, in training and prediction alike."""
