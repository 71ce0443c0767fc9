// A stand-in for NVIDIA's management library: two cards, of which the first is lost.
#include <string.h>

typedef unsigned int u32;
typedef unsigned long long u64;
typedef struct { u64 total, free, used; } memory;
typedef struct { u32 gpu, memory; } utilization;
typedef struct { u32 pid; u64 memory; u32 gpuInstance, computeInstance; } process;
typedef struct { u32 pid; u64 at; u32 sm, mem, enc, dec; } sample;

enum { SUCCESS = 0, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7, LOST = 15 };

static int opened;
static int card; // a handle is the address of something

int nvmlInit_v2(void) { opened = 1; return SUCCESS; }
int nvmlShutdown(void) { opened = 0; return SUCCESS; }
int nvmlSystemGetDriverVersion(char *s, u32 n) { if (!opened || n < 80) return INSUFFICIENT_SIZE; strcpy(s, "550.90.07"); return SUCCESS; }
int nvmlDeviceGetCount_v2(u32 *n) { *n = 2; return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(u32 i, void **d) { if (i != 1) return LOST; *d = &card; return SUCCESS; }

int nvmlDeviceGetName(void *d, char *s, u32 n) { if (d != &card || n < 96) return INSUFFICIENT_SIZE; strcpy(s, "NVIDIA Stand-in"); return SUCCESS; }
int nvmlDeviceGetUUID(void *d, char *s, u32 n) { strcpy(s, "GPU-1"); return SUCCESS; }
int nvmlDeviceGetMemoryInfo(void *d, memory *m) { m->total = 8ULL << 30; m->free = 6ULL << 30; m->used = 2ULL << 30; return SUCCESS; }
int nvmlDeviceGetUtilizationRates(void *d, utilization *u) { u->gpu = 12; u->memory = 90; return SUCCESS; }
int nvmlDeviceGetTemperature(void *d, u32 sensor, u32 *c) { *c = 61 + sensor; return SUCCESS; }
int nvmlDeviceGetPowerUsage(void *d, u32 *mw) { *mw = 120250; return SUCCESS; }
int nvmlDeviceGetEnforcedPowerLimit(void *d, u32 *mw) { return NOT_SUPPORTED; }
int nvmlDeviceGetClockInfo(void *d, u32 kind, u32 *mhz) { *mhz = kind == 1 ? 1500 : kind == 2 ? 7000 : 0; return SUCCESS; }
int nvmlDeviceGetCurrentClocksThrottleReasons(void *d, u64 *r) { *r = 0x40 | 1ULL << 40; return SUCCESS; }

int nvmlDeviceGetComputeRunningProcesses_v3(void *d, u32 *n, process *p) {
	u32 room = *n;
	*n = 70;
	if (room < 70) return INSUFFICIENT_SIZE;
	for (u32 i = 0; i < 70; i++) p[i] = (process){1000 + i, (u64)i << 20, ~0u, ~0u};
	return SUCCESS;
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(void *d, u32 *n, process *p) {
	p[0] = (process){5, ~0ULL, ~0u, ~0u};
	*n = 1;
	return SUCCESS;
}

int nvmlDeviceGetProcessUtilization(void *d, sample *s, u32 *n, u64 since) {
	u32 room = *n;
	*n = 2;
	if (!s || room < 2) return INSUFFICIENT_SIZE;
	s[0] = (sample){1003, 20, 44, 1, 2, 3};
	s[1] = (sample){1003, 10, 99, 1, 2, 3};
	return SUCCESS;
}
