/// A file driver that reads an open descriptor and can do nothing else: no path, no opening, no writing.
#pragma once
#include <errno.h>
#include <hdf5.h>
#include <stdlib.h>
#include <unistd.h>
#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

/// Where raw data was asked for last, instead of reading it; `is_on` for as long as that is wanted.
///
/// HDF5 1.10 says where a chunk lies only by walking past all others, but finds it at once to read it.
struct rh5_seen { int is_on; haddr_t address; size_t size; };
struct rh5_source { int descriptor; haddr_t bytes; struct rh5_seen *seen; };
struct rh5_open_file { H5FD_t base; struct rh5_source source; haddr_t end; };

static inline H5FD_t *rh5_driver_open(const char *name, unsigned flags, hid_t list, haddr_t most) {
    (void)name; (void)most;
    const struct rh5_source *source = (const struct rh5_source *)H5Pget_driver_info(list);
    if (!source || (flags & (H5F_ACC_RDWR | H5F_ACC_CREAT | H5F_ACC_TRUNC))) return NULL;
    struct rh5_open_file *file = (struct rh5_open_file *)calloc(1, sizeof *file);
    if (file) file->source = *source;
    return (H5FD_t *)file;
}
static inline herr_t rh5_driver_close(H5FD_t *file) { free(file); return 0; }
static inline int rh5_driver_compare(const H5FD_t *a, const H5FD_t *b) { return a < b ? -1 : a > b; }
static inline herr_t rh5_driver_query(const H5FD_t *file, unsigned long *flags) {
    (void)file;
    if (flags) *flags = 0;
    return 0;
}
static inline haddr_t rh5_driver_end(const H5FD_t *file, H5FD_mem_t type) {
    (void)type;
    return ((const struct rh5_open_file *)file)->end;
}
static inline herr_t rh5_driver_set_end(H5FD_t *file, H5FD_mem_t type, haddr_t end) {
    (void)type;
    ((struct rh5_open_file *)file)->end = end;
    return 0;
}
static inline haddr_t rh5_driver_bytes(const H5FD_t *file, H5FD_mem_t type) {
    (void)type;
    return ((const struct rh5_open_file *)file)->source.bytes;
}
static inline herr_t rh5_driver_read(H5FD_t *base, H5FD_mem_t type, hid_t list, haddr_t address,
                                     size_t size, void *out) {
    (void)list;
    const struct rh5_source *source = &((const struct rh5_open_file *)base)->source;
    if (type == H5FD_MEM_DRAW && source->seen && source->seen->is_on) {
        source->seen->address = address;
        source->seen->size = size;
        return 0;
    }
    if (address > source->bytes || size > source->bytes - address) return -1;
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(source->descriptor, (char *)out + done, size - done, (off_t)(address + done));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return -1;
        done += (size_t)got;
    }
    return 0;
}
static inline herr_t rh5_driver_write(H5FD_t *file, H5FD_mem_t type, hid_t list, haddr_t address,
                                      size_t size, const void *bytes) {
    (void)file; (void)type; (void)list; (void)address; (void)size; (void)bytes;
    return -1;
}

/// The driver; -1 where HDF5 refuses it.
static inline hid_t rh5_register_driver(void) {
    static const H5FD_class_t driver = {
#if H5_VERSION_GE(1, 13, 0)
        .version = H5FD_CLASS_VERSION, .value = (H5FD_class_value_t)607,
#endif
        .name = "retort", .maxaddr = ((haddr_t)1 << 62) - 1, .fc_degree = H5F_CLOSE_WEAK,
        .fapl_size = sizeof(struct rh5_source), .open = rh5_driver_open, .close = rh5_driver_close,
        .cmp = rh5_driver_compare, .query = rh5_driver_query, .get_eoa = rh5_driver_end,
        .set_eoa = rh5_driver_set_end, .get_eof = rh5_driver_bytes, .read = rh5_driver_read,
        .write = rh5_driver_write, .fl_map = H5FD_FLMAP_SINGLE,
    };
    return H5FDregister(&driver);
}

/// Opens the `bytes` bytes of an open descriptor through that driver. `seen` may be NULL, or lives longer.
static inline hid_t rh5_descriptor_open(hid_t driver, int descriptor, hsize_t bytes,
                                        struct rh5_seen *seen) {
    const struct rh5_source source = {descriptor, bytes, seen};
    hid_t list = H5Pcreate(H5P_FILE_ACCESS), file = -1;
    if (list < 0) return list;
    // An absolute name, for which HDF5 does not ask for the working directory; the driver ignores it.
    if (H5Pset_file_locking(list, 0, 1) >= 0 && H5Pset_driver(list, driver, &source) >= 0)
        file = H5Fopen("/retort", H5F_ACC_RDONLY, list);
    H5Pclose(list);
    return file;
}
