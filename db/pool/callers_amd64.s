//go:build gc && !purego

#include "textflag.h"

// func callers(pcs *uintptr, most int) int
TEXT ·callers(SB), NOSPLIT|NOFRAME, $0-24
	MOVQ pcs+0(FP), DI
	MOVQ most+8(FP), CX
	XORQ AX, AX
	MOVQ BP, BX // the frame of the caller

next:
	CMPQ AX, CX
	JGE  done
	TESTQ BX, BX
	JZ   done
	MOVQ 8(BX), DX // where it returns to
	MOVQ DX, (DI)(AX*8)
	INCQ AX
	MOVQ (BX), DX // the frame that called it, which lies above
	MOVQ DX, SI
	SUBQ BX, SI
	DECQ SI
	CMPQ SI, $0x100000
	JAE  done
	MOVQ DX, BX
	JMP  next

done:
	MOVQ AX, ret+16(FP)
	RET
