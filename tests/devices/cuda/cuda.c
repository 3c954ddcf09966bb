/* A tripwire for CUDA: a libcuda.so.1 that finds no device and writes down who asked.
 *
 * Each call adds a line of JSON to the file named by FAKE_CUDA: the function, the process and its parent, the devices
 * that CUDA would see, and the trial. Functions are those that frameworks call to look for devices; behind cuInit's
 * answer they call no other. Signatures and codes are those of NVIDIA's cuda.h.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { NO_DEVICE = 100, NOT_INITIALIZED = 3, VERSION = 13000 };

static const char *or_none(const char *name) {
    const char *value = getenv(name);
    return value ? value : "none";
}

static void tell(const char *call) {
    const char *path = getenv("FAKE_CUDA");
    char line[1024];
    if (!path) return;
    int size = snprintf(line, sizeof line, "{\"call\": \"%s\", \"pid\": %d, \"parent\": %d, \"devices\": \"%s\", \"trial\": \"%s\"}\n",
                        call, getpid(), getppid(), or_none("CUDA_VISIBLE_DEVICES"), or_none("GPUSCHED_TRIAL"));
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (file < 0) return;
    if (size > 0 && size < (int)sizeof line && write(file, line, size) != size) abort();
    close(file);
}

int cuInit(unsigned flags) {
    (void)flags;
    tell(__func__);
    return NO_DEVICE;
}

int cuDriverGetVersion(int *version) {
    tell(__func__);
    *version = VERSION;
    return 0;
}

int cuDeviceGetCount(int *count) {
    tell(__func__);
    *count = 0;
    return NOT_INITIALIZED;
}

int cuDeviceGet(int *device, int ordinal) {
    (void)ordinal;
    tell(__func__);
    *device = 0;
    return NOT_INITIALIZED;
}

int cuCtxGetCurrent(void **context) {
    tell(__func__);
    *context = NULL;
    return NOT_INITIALIZED;
}

int cuGetErrorName(int code, const char **text) {
    tell(__func__);
    *text = code == NO_DEVICE ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR_NOT_INITIALIZED";
    return 0;
}

int cuGetErrorString(int code, const char **text) {
    tell(__func__);
    *text = code == NO_DEVICE ? "no CUDA-capable device is detected" : "initialization error";
    return 0;
}
