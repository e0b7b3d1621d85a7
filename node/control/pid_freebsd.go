package control

// peerPID returns 0, because this system does not report the process.
func peerPID(int) (int, error) { return 0, nil }
