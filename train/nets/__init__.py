"""Parts of networks: layers, front ends, teachers, and the contract that all networks keep."""
