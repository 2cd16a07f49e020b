"""Fresh labelled runs: small models trained for real, healthy or with a planted fault.

    python -m bench.labelled OUT [--families lm regression ...] [--seeds N] [--jobs N]

Run from the repository's root. Each run is a directory in traintop's diagnostics format with a
`label.json` that says what was planted and what a detector may and may not say of it. Losses,
gradients, weights and activations come from real training; only throughput and memory are made up.
A run is kept if its fault truly shows in hindsight, or if it is truly healthy.
"""
