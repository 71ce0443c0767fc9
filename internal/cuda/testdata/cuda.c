// A stand-in for NVIDIA's driver: two cards of which the first is too old, memory of the process, and one kernel. What it is
// compiled with says what goes wrong: VERSION, FAIL (the name of a function) and CODE (what that returns).
#include <stdlib.h>
#include <string.h>

#ifndef VERSION
#define VERSION 12040
#endif
#ifdef FAIL
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define MAY_FAIL(name) if (!strcmp(TEXT(FAIL), name)) return CODE
#else
#define MAY_FAIL(name)
#endif

typedef unsigned u32;
typedef unsigned long long u64;

static __thread void *current;
static int context, module, stream, waits;
static char names[64][64];
static int known;

int cuInit(u32 flags) { MAY_FAIL("cuInit"); return 0; }
int cuDriverGetVersion(int *v) { *v = VERSION; return 0; }
int cuDeviceGetCount(int *n) { MAY_FAIL("cuDeviceGetCount"); *n = 2; return 0; }
int cuDeviceGet(int *d, int i) { *d = 10 + i; return 0; }
int cuDeviceGetName(char *s, int n, int d) { strcpy(s, d == 10 ? "Old card" : "New card"); return 0; }
int cuDeviceGetUuid(unsigned char *id, int d) { for (int i = 0; i < 16; i++) id[i] = 16 * (d - 10) + i; return 0; }
int cuDeviceGetAttribute(int *v, int which, int d) {
	*v = which == 16 ? 84 : which == 75 ? (d == 10 ? 5 : 8) : which == 83 ? 1 : -1;
	return 0;
}
int cuDevicePrimaryCtxRetain(void **c, int d) { MAY_FAIL("cuDevicePrimaryCtxRetain"); *c = &context; return d == 11 ? 0 : 101; }
int cuDevicePrimaryCtxRelease(int d) { return d == 11 ? 0 : 101; }
int cuCtxSetCurrent(void *c) { current = c; return 0; }

#define CURRENT if (current != &context) return 201

int cuModuleLoadData(void **m, const char *ptx) {
	CURRENT;
	MAY_FAIL("cuModuleLoadData");
	*m = &module;
	return strstr(ptx, ".visible .entry scale(") ? 0 : 218;
}
int cuModuleGetFunction(void **f, void *m, const char *name) {
	if (known == 64) return 500;
	strcpy(names[known], name);
	*f = names[known++];
	return 0;
}
int cuStreamCreate(void **s, u32 flags) { *s = &stream; return 0; }
int cuStreamSynchronize(void *s) { CURRENT; waits++; MAY_FAIL("cuStreamSynchronize"); return s == &stream ? 0 : 400; }
int cuMemAllocManaged(void **p, u64 n, u32 flags) {
	CURRENT;
	MAY_FAIL("cuMemAllocManaged");
	if (flags != 1) return 1;
	*p = malloc(n);
	memset(*p, 0x55, n);
	return 0;
}
int cuMemFree_v2(void *p) { CURRENT; free(p); return 0; }
int cuMemGetInfo_v2(u64 *avail, u64 *total) { CURRENT; *avail = 4ULL << 30; *total = 8ULL << 30; return 0; }
int cuMemsetD8Async(void *p, unsigned char v, u64 n, void *s) { CURRENT; memset(p, v, n); return 0; }
int cuMemcpyDtoDAsync_v2(void *to, void *from, u64 n, void *s) { CURRENT; memcpy(to, from, n); return 0; }

int cuLaunchKernel(const char *f, u32 gx, u32 gy, u32 gz, u32 bx, u32 by, u32 bz, u32 shared, void *s, void **args, void **extra) {
	CURRENT;
	MAY_FAIL("cuLaunchKernel");
	if (strcmp(f, "scale")) return 98;
	if (gx != 3 || gy != 1 || gz != 1 || bx != 256 || by != 1 || bz != 1 || shared || s != &stream || extra) return 1;
	float *y = *(float **)args[0], *x = *(float **)args[1], factor = *(float *)args[3];
	for (u64 i = 0, n = *(u64 *)args[2]; i < n; i++) y[i] = x[i] * factor;
	return 0;
}
