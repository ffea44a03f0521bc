"""What proposes tokens: the drafter, copies, and how they share one budget."""
