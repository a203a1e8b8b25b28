"""Find the best network inside a budget: propose, reject before training, train, choose, explain."""
