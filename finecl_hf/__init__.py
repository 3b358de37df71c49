"""finecl_hf: relation extraction from noisy labels, as Hugging Face Trainers."""
