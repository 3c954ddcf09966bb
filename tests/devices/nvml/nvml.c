/* A driver for machines without one: NVML's ABI over a JSON file.
 *
 * The file named by FAKE_NVML is read again on every call, so that a test may edit it (by rename)
 * while a search runs:
 *
 *   {"driver": "580.65.06", "cuda": 13000,
 *    "errors": {"nvmlInitWithFlags": 9},                 codes by function, for the library
 *    "devices": [{"uuid": ..., "name": ..., "bus": "00000000:3B:00.0", "total": ..., "used": ...,
 *                 "utilisation": 0, "temperature": 40, "milliwatts": 60000, "cpus": [0, 1], "node": 0,
 *                 "compute_mode": 0, "ecc": 0, "compute": [{"pid": 1, "used": 2}], "graphics": [...],
 *                 "mig": [{"uuid": ..., "gi": 1, "ci": 0, ...} or null for an empty place],
 *                 "errors": {"nvmlDeviceGetName": 999, "*": 15}}],
 *    "events": [{"uuid": ..., "xid": 79}, {"uuid": ..., "ecc": 1}]}      appended to, never cut
 *
 * What a device's object lacks is "not supported". A device that is no longer in the file is lost.
 * Each file <pid> in the folder FAKE_NVML_PROCESSES, holding "<uuid> <bytes>", is a compute process
 * on that device for as long as the process lives, and its bytes count as used.
 *
 * Layouts and codes are those of NVIDIA's nvml.h, as nvidia-ml-py declares them.
 */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "json.h"

typedef unsigned long long Bytes;
enum { OK, UNINITIALIZED, INVALID, NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND = 6, TOO_SMALL, TIMEOUT = 10, LOST = 15, UNKNOWN = 999 };
enum { NAME = 96, DEVICES = 256, EVENT_ECC = 2, EVENT_XID = 8 };

typedef struct { char uuid[NAME]; } Device; /* the handle: stable for a UUID, as the driver's are */
typedef struct { unsigned pid; Bytes used; unsigned gpu_instance, compute_instance; } Process;
typedef struct { unsigned next, count; Device *watched[DEVICES]; } Events;

static Device devices[DEVICES];
static unsigned known;
static int opened;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static __thread char *text; /* the file, as this call reads it */

static const char *load(void) {
    const char *path = getenv("FAKE_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    free(text);
    text = NULL;
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    text = calloc(1, size + 1);
    if (fread(text, 1, size, file) != (size_t)size) text[0] = 0;
    fclose(file);
    return json_space(text);
}

static int injected(const char *object, const char *call) {
    const char *errors = json_member(object, "errors");
    const char *code = json_member(errors, call);
    return (int)json_number(code ? code : json_member(errors, "*"), OK);
}

static Device *handle(const char *object) {
    char uuid[NAME] = "";
    json_string(json_member(object, "uuid"), uuid, sizeof uuid);
    pthread_mutex_lock(&lock);
    unsigned i = 0;
    while (i < known && strcmp(devices[i].uuid, uuid)) i++;
    if (i == known && known < DEVICES) strcpy(devices[known++].uuid, uuid);
    pthread_mutex_unlock(&lock);
    return &devices[i];
}

/* The object of a device or slice, and of the GPU it is on. */
static const char *find(const char *root, const char *uuid, const char **board) {
    const char *list = json_member(root, "devices"), *object, *slice;
    char name[NAME];
    for (unsigned i = 0; (object = json_item(list, i)); i++) {
        *board = object;
        if (json_string(json_member(object, "uuid"), name, NAME) && !strcmp(name, uuid)) return object;
        for (unsigned k = 0; (slice = json_item(json_member(object, "mig"), k)); k++)
            if (json_string(json_member(slice, "uuid"), name, NAME) && !strcmp(name, uuid)) return slice;
    }
    return NULL;
}

/* Every call on a device begins here: `object` is its JSON, or the call ends with an error. */
#define ENTER(device, object, board)                                                        \
    const char *board = NULL, *object;                                                      \
    if (!opened) return UNINITIALIZED;                                                      \
    if (!(device)) return INVALID;                                                          \
    if (!(object = find(load(), (device)->uuid, &board))) return LOST;                      \
    {                                                                                       \
        int code = injected(object, __func__);                                              \
        if (!code && object != board) code = (int)json_number(json_member(json_member(board, "errors"), "*"), OK); \
        if (code) return code;                                                              \
    }                                                                                       \
    (void)board

#define LIBRARY(root)                            \
    if (!opened) return UNINITIALIZED;           \
    const char *root = load();                   \
    if (injected(root, __func__)) return injected(root, __func__)

static int give_text(const char *value, char *out, unsigned size) {
    size_t needed = json_string(value, out, size);
    return !needed ? NOT_SUPPORTED : needed > size ? TOO_SMALL : OK;
}

static int give_number(const char *value, unsigned *out) {
    if (!value) return NOT_SUPPORTED;
    *out = (unsigned)json_number(value, 0);
    return OK;
}

/* ---- the library ---- */

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    const char *root = load();
    if (!root) return UNKNOWN;
    int code = injected(root, __func__);
    if (!code) opened++;
    return code;
}

/* As torch calls it. */
int nvmlInit(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) {
    if (!opened) return UNINITIALIZED;
    opened--;
    return OK;
}

const char *nvmlErrorString(int code) { return code == LOST ? "GPU is lost" : "an error of the test driver"; }

int nvmlSystemGetDriverVersion(char *out, unsigned size) {
    LIBRARY(root);
    return give_text(json_member(root, "driver"), out, size);
}

int nvmlSystemGetCudaDriverVersion(int *out) {
    LIBRARY(root);
    return give_number(json_member(root, "cuda"), (unsigned *)out);
}

int nvmlSystemGetCudaDriverVersion_v2(int *out) { return nvmlSystemGetCudaDriverVersion(out); }

int nvmlDeviceGetCount_v2(unsigned *out) {
    LIBRARY(root);
    *out = json_length(json_member(root, "devices"));
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **out) {
    LIBRARY(root);
    const char *object = json_item(json_member(root, "devices"), index);
    if (!object) return INVALID;
    int code = injected(object, __func__);
    if (!code) *out = handle(object);
    return code;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Device **out) {
    LIBRARY(root);
    const char *board, *object = find(root, uuid, &board);
    if (!object) return NOT_FOUND;
    int code = injected(object, __func__);
    if (!code) *out = handle(object);
    return code;
}

/* ---- a device ---- */

int nvmlDeviceGetUUID(Device *device, char *out, unsigned size) {
    ENTER(device, object, board);
    return give_text(json_member(object, "uuid"), out, size);
}

int nvmlDeviceGetName(Device *device, char *out, unsigned size) {
    ENTER(device, object, board);
    return give_text(json_member(object, "name"), out, size);
}

typedef struct {
    char legacy[16];
    unsigned domain, bus, device, pci_device, pci_subsystem;
    char bus_id[32];
} Pci;

int nvmlDeviceGetPciInfo_v3(Device *device, Pci *out) {
    ENTER(device, object, board);
    memset(out, 0, sizeof *out);
    int code = give_text(json_member(object, "bus"), out->bus_id, sizeof out->bus_id);
    if (code) return code;
    snprintf(out->legacy, sizeof out->legacy, "%s", out->bus_id + 4);
    sscanf(out->bus_id, "%x:%x:%x", &out->domain, &out->bus, &out->device);
    return OK;
}

/* The live processes that tests attached to a device. */
static unsigned attached(const Device *device, Process *out, unsigned room, Bytes *total) {
    const char *path = getenv("FAKE_NVML_PROCESSES");
    DIR *folder = path ? opendir(path) : NULL;
    unsigned count = 0;
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        char name[4096], uuid[NAME] = "";
        Bytes used = 0;
        unsigned pid = (unsigned)strtoul(entry->d_name, NULL, 10);
        snprintf(name, sizeof name, "/proc/%u", pid);
        if (!pid || access(name, F_OK)) continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        FILE *file = fopen(name, "r");
        if (!file) continue;
        int fields = fscanf(file, "%95s %llu", uuid, &used);
        fclose(file);
        if (fields < 1 || strcmp(uuid, device->uuid)) continue;
        if (out && count < room) out[count] = (Process){pid, used, -1u, -1u};
        count++;
        if (total) *total += used;
    }
    if (folder) closedir(folder);
    return count;
}

static int memory(const Device *device, const char *object, Bytes *total, Bytes *available, Bytes *used) {
    if (!json_member(object, "total")) return NOT_SUPPORTED;
    *total = json_number(json_member(object, "total"), 0);
    *used = json_number(json_member(object, "used"), 0);
    attached(device, NULL, 0, used);
    if (*used > *total) *used = *total;
    *available = *total - *used;
    return OK;
}

typedef struct { Bytes total, available, used; } Memory;
typedef struct { unsigned version; Bytes total, reserved, available, used; } Memory2;

int nvmlDeviceGetMemoryInfo(Device *device, Memory *out) {
    ENTER(device, object, board);
    return memory(device, object, &out->total, &out->available, &out->used);
}

int nvmlDeviceGetMemoryInfo_v2(Device *device, Memory2 *out) {
    ENTER(device, object, board);
    if (out->version != (sizeof *out | 2u << 24)) return 25; /* argument version mismatch */
    out->reserved = 0;
    return memory(device, object, &out->total, &out->available, &out->used);
}

static int list(const char *array, const Device *extra, unsigned *count, Process *out) {
    unsigned room = *count, fixed = json_length(array);
    for (unsigned i = 0; out && i < fixed && i < room; i++) {
        const char *process = json_item(array, i);
        out[i].pid = (unsigned)json_number(json_member(process, "pid"), 0);
        out[i].used = json_number(json_member(process, "used"), -1ull); /* "not available" */
        out[i].gpu_instance = out[i].compute_instance = -1u;
    }
    unsigned left = room > fixed ? room - fixed : 0;
    *count = fixed + (extra ? attached(extra, out ? out + fixed : NULL, left, NULL) : 0);
    return *count > room || (*count && !out) ? TOO_SMALL : OK;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Device *device, unsigned *count, Process *out) {
    ENTER(device, object, board);
    return list(json_member(object, "compute"), device, count, out);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(Device *device, unsigned *count, Process *out) {
    ENTER(device, object, board);
    return list(json_member(object, "graphics"), NULL, count, out);
}

int nvmlDeviceGetUtilizationRates(Device *device, unsigned out[2]) {
    ENTER(device, object, board);
    out[1] = 0;
    return give_number(json_member(object, "utilisation"), &out[0]);
}

int nvmlDeviceGetTemperature(Device *device, unsigned sensor, unsigned *out) {
    ENTER(device, object, board);
    return sensor ? INVALID : give_number(json_member(object, "temperature"), out);
}

int nvmlDeviceGetPowerUsage(Device *device, unsigned *out) {
    ENTER(device, object, board);
    return give_number(json_member(object, "milliwatts"), out);
}

int nvmlDeviceGetComputeMode(Device *device, unsigned *out) {
    ENTER(device, object, board);
    return give_number(json_member(object, "compute_mode"), out);
}

int nvmlDeviceGetTotalEccErrors(Device *device, unsigned kind, unsigned counter, Bytes *out) {
    ENTER(device, object, board);
    if (!json_member(object, "ecc")) return NOT_SUPPORTED;
    *out = kind == 1 && counter == 0 ? json_number(json_member(object, "ecc"), 0) : 0;
    return OK;
}

int nvmlDeviceGetCpuAffinity(Device *device, unsigned words, unsigned long *out) {
    ENTER(device, object, board);
    const char *cpus = json_member(object, "cpus"), *cpu;
    if (!cpus) return NOT_SUPPORTED;
    memset(out, 0, words * sizeof *out);
    for (unsigned i = 0; (cpu = json_item(cpus, i)); i++) {
        unsigned bit = (unsigned)json_number(cpu, 0);
        if (bit / 64 >= words) return TOO_SMALL;
        out[bit / 64] |= 1ul << bit % 64;
    }
    return OK;
}

int nvmlDeviceGetMemoryAffinity(Device *device, unsigned words, unsigned long *out, unsigned scope) {
    ENTER(device, object, board);
    (void)scope;
    if (!json_member(object, "node")) return NOT_SUPPORTED;
    memset(out, 0, words * sizeof *out);
    out[0] = 1ul << json_number(json_member(object, "node"), 0);
    return OK;
}

/* ---- MIG ---- */

int nvmlDeviceGetMigMode(Device *device, unsigned *current, unsigned *pending) {
    ENTER(device, object, board);
    if (object != board) return INVALID;
    *current = *pending = json_member(object, "mig") != NULL;
    return OK;
}

int nvmlDeviceGetMaxMigDeviceCount(Device *device, unsigned *out) {
    ENTER(device, object, board);
    *out = json_length(json_member(object, "mig"));
    return OK;
}

int nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned index, Device **out) {
    ENTER(device, object, board);
    const char *slice = json_item(json_member(object, "mig"), index);
    if (!slice || *slice != '{') return NOT_FOUND;
    *out = handle(slice);
    return OK;
}

int nvmlDeviceGetGpuInstanceId(Device *device, unsigned *out) {
    ENTER(device, object, board);
    return give_number(json_member(object, "gi"), out);
}

int nvmlDeviceGetComputeInstanceId(Device *device, unsigned *out) {
    ENTER(device, object, board);
    return give_number(json_member(object, "ci"), out);
}

/* ---- events ---- */

typedef struct { Device *device; Bytes type, data; unsigned gpu_instance, compute_instance; } Event;

int nvmlEventSetCreate(Events **out) {
    LIBRARY(root);
    *out = calloc(1, sizeof **out);
    (*out)->next = json_length(json_member(root, "events")); /* what was before is not told */
    return OK;
}

int nvmlDeviceRegisterEvents(Device *device, Bytes types, Events *set) {
    ENTER(device, object, board);
    (void)types;
    if (object != board) return NOT_SUPPORTED;
    set->watched[set->count++ % DEVICES] = device;
    return OK;
}

int nvmlEventSetWait_v2(Events *set, Event *out, unsigned milliseconds) {
    struct timespec pause = {0, 2000000};
    for (unsigned waited = 0;; waited += 2) {
        LIBRARY(root);
        const char *event;
        while ((event = json_item(json_member(root, "events"), set->next))) {
            Device *device = handle(event);
            set->next++;
            for (unsigned i = 0; i < set->count; i++)
                if (set->watched[i] == device) {
                    const char *xid = json_member(event, "xid");
                    *out = (Event){device, xid ? EVENT_XID : EVENT_ECC, json_number(xid, 0), -1u, -1u};
                    return OK;
                }
        }
        if (waited >= milliseconds) return TIMEOUT;
        nanosleep(&pause, NULL);
    }
}

int nvmlEventSetFree(Events *set) {
    free(set);
    return OK;
}
