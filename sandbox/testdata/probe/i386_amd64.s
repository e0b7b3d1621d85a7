// func getpid386() int
TEXT ·getpid386(SB), 4, $0-8
	MOVL $20, AX
	INT  $0x80
	MOVLQSX AX, AX
	MOVQ AX, ret+0(FP)
	RET
