"""Story corpora: generated, imported or bundled with a pack; what is rejected and why."""
