/* One GPU that nobody has: as much of the CUDA runtime as torch's backward pass asks for. Nothing is ever launched.
   Built and preloaded by library.py; its headers are those of the package nvidia-cuda-runtime. */
#include <stddef.h>
#include <string.h>
#include <driver_types.h>

#define CARD "pretended GPU"
#define COMPUTE_MAJOR 9 /* as an H100's: torch chooses among its operators by these */
#define COMPUTE_MINOR 0
#define MULTIPROCESSORS 132
#define MEMORY (80UL << 30)
#define VERSION (1000 * CUDA_MAJOR)

/* Looked up when a library is opened, never called. */
#define NEVER_CALLED(name) int name(void) { return 999; }

int cudaGetDeviceCount(int *count) { *count = 1; return 0; }
int cudaGetDevice(int *device) { *device = 0; return 0; }
int cudaSetDevice(int device) { (void)device; return 0; }

int cudaGetDeviceProperties(struct cudaDeviceProp *card, int device) {
  (void)device;
  memset(card, 0, sizeof *card);
  strcpy(card->name, CARD);
  card->major = COMPUTE_MAJOR;
  card->minor = COMPUTE_MINOR;
  card->warpSize = 32;
  card->multiProcessorCount = MULTIPROCESSORS;
  card->maxThreadsPerBlock = 1024;
  card->maxThreadsPerMultiProcessor = 2048;
  card->totalGlobalMem = MEMORY;
  return 0;
}
int cudaGetDeviceProperties_v2(struct cudaDeviceProp *card, int device) { return cudaGetDeviceProperties(card, device); }

int cudaDriverGetVersion(int *version) { *version = VERSION; return 0; }
int cudaRuntimeGetVersion(int *version) { *version = VERSION; return 0; }
int cudaDeviceGetAttribute(int *value, int what, int device) { (void)what; (void)device; *value = 0; return 0; }
int cudaGetLastError(void) { return 0; }
int cudaPeekAtLastError(void) { return 0; }
int cudaStreamIsCapturing(void *stream, int *status) { (void)stream; *status = 0; return 0; }
int cudaStreamGetCaptureInfo(void *stream, int *status) { (void)stream; *status = 0; return 0; }
int cudaDeviceGetStreamPriorityRange(int *least, int *greatest) { *least = 0; *greatest = 0; return 0; }
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
  (void)device;
  *flags = 0;
  *active = 0;
  return 0;
}

NEVER_CALLED(cuCtxGetCurrent)
NEVER_CALLED(cuCtxSetCurrent)
NEVER_CALLED(cuDeviceGet)
NEVER_CALLED(cuDeviceGetAttribute)
NEVER_CALLED(cuDevicePrimaryCtxRetain)
NEVER_CALLED(cuFuncGetAttribute)
NEVER_CALLED(cuFuncSetAttribute)
NEVER_CALLED(cuFuncSetCacheConfig)
NEVER_CALLED(cuGetErrorString)
NEVER_CALLED(cuLaunchCooperativeKernel)
NEVER_CALLED(cuLaunchKernel)
NEVER_CALLED(cuLinkAddData_v2)
NEVER_CALLED(cuLinkComplete)
NEVER_CALLED(cuLinkCreate_v2)
NEVER_CALLED(cuModuleGetFunction)
NEVER_CALLED(cuModuleLoad)
NEVER_CALLED(cuModuleLoadData)
NEVER_CALLED(cuModuleLoadDataEx)
NEVER_CALLED(cuModuleUnload)
NEVER_CALLED(cuOccupancyMaxActiveBlocksPerMultiprocessor)
NEVER_CALLED(cuPointerGetAttribute)
NEVER_CALLED(cuTensorMapEncodeTiled)
