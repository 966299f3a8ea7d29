"""What a model does under steering: trials that are kept (`arms`, `trials`), judged (`coherence`, `verdicts`, `votes`), counted (`rates`) and shown."""
