package control

// peerPID is not told by this system.
func peerPID(int) (int, error) { return 0, nil }
