"""Hand records to TensorBoard, MLflow and Weights & Biases."""
