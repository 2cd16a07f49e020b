"""TensorBoard event files, read without TensorFlow, TensorBoard or protobuf."""
