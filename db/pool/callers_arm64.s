//go:build gc && !purego

#include "textflag.h"

// func callers(pcs *uintptr, most int) int
TEXT ·callers(SB), NOSPLIT|NOFRAME, $0-24
	MOVD pcs+0(FP), R0
	MOVD most+8(FP), R1
	MOVD ZR, R2
	MOVD R29, R3 // the frame of the caller

next:
	CMP  R1, R2
	BGE  done
	CBZ  R3, done
	MOVD 8(R3), R4 // where it returns to
	MOVD R4, (R0)(R2<<3)
	ADD  $1, R2
	MOVD (R3), R4 // the frame that called it, which lies above
	SUB  R3, R4, R5
	SUB  $1, R5
	CMP  $0x100000, R5
	BHS  done
	MOVD R4, R3
	B    next

done:
	MOVD R2, ret+16(FP)
	RET
