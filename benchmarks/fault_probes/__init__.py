"""Small reproductions of known faults; `benchmarks.faults_before` runs each in a process of its own."""
