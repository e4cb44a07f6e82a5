/// HDF5 for Swift. Most of its constants are macros over mutable globals (`H5T_IEEE_F32LE` opens
/// the library first), which Swift cannot import: each one that we use is a small function here.
#pragma once
#include <hdf5.h>

#include "driver.h"

static inline hid_t rh5_type_u8(void) { return H5Tcopy(H5T_STD_U8LE); }
static inline hid_t rh5_type_i8(void) { return H5Tcopy(H5T_STD_I8LE); }
static inline hid_t rh5_type_u16(void) { return H5Tcopy(H5T_STD_U16LE); }
static inline hid_t rh5_type_u32(void) { return H5Tcopy(H5T_STD_U32LE); }
static inline hid_t rh5_type_u64(void) { return H5Tcopy(H5T_STD_U64LE); }
static inline hid_t rh5_type_i64(void) { return H5Tcopy(H5T_STD_I64LE); }
static inline hid_t rh5_type_i16(void) { return H5Tcopy(H5T_STD_I16LE); }
static inline hid_t rh5_type_i32(void) { return H5Tcopy(H5T_STD_I32LE); }
static inline hid_t rh5_type_f64(void) { return H5Tcopy(H5T_IEEE_F64LE); }
static inline hid_t rh5_type_f32(void) { return H5Tcopy(H5T_IEEE_F32LE); }

/// A two-byte float: sign at bit 15, `exponent` bits below it, `mantissa` bits at the bottom.
static inline hid_t rh5_type_float16bit(size_t exponent, size_t mantissa, size_t bias) {
    hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    if (type < 0) return type;
    if (H5Tset_fields(type, 15, mantissa, exponent, 0, mantissa) < 0 || H5Tset_size(type, 2) < 0 ||
        H5Tset_ebias(type, bias) < 0) {
        H5Tclose(type);
        return -1;
    }
    return type;
}
static inline hid_t rh5_type_bf16(void) { return rh5_type_float16bit(8, 7, 127); }
static inline hid_t rh5_type_f16(void) { return rh5_type_float16bit(5, 10, 15); }

/// UTF-8 text of a fixed length, for attributes.
static inline hid_t rh5_type_text(size_t bytes) {
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type < 0) return type;
    if (H5Tset_size(type, bytes) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0 ||
        H5Tset_strpad(type, H5T_STR_NULLPAD) < 0) {
        H5Tclose(type);
        return -1;
    }
    return type;
}

/// Text of any length, as pointers in memory; `set` is that of the stored type.
static inline hid_t rh5_type_texts(H5T_cset_t set) {
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type < 0) return type;
    if (H5Tset_size(type, H5T_VARIABLE) < 0 || H5Tset_cset(type, set) < 0) {
        H5Tclose(type);
        return -1;
    }
    return type;
}

static inline int rh5_space_is_scalar(hid_t space) { return H5Sget_simple_extent_type(space) == H5S_SCALAR; }

/// Reads `count` elements from `start` on of an array of one dimension, or all of one of none, as they
/// lie in memory by `type`.
static inline herr_t rh5_read(hid_t dataset, hid_t type, hid_t space, hsize_t start, hsize_t count,
                              void *out) {
    if (rh5_space_is_scalar(space)) return H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out);
    hid_t room = H5Screate_simple(1, &count, NULL);
    if (room < 0) return -1;
    herr_t result = H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, NULL, &count, NULL);
    if (result >= 0) result = H5Dread(dataset, type, room, space, H5P_DEFAULT, out);
    H5Sclose(room);
    return result;
}
static inline herr_t rh5_read_all(hid_t dataset, hid_t type, void *out) {
    return H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out);
}
/// Frees the texts that `rh5_read` put in memory.
static inline void rh5_free_texts(hid_t type, hsize_t count, void *texts) {
    hid_t room = H5Screate_simple(1, &count, NULL);
    if (room < 0) return;
    H5Dvlen_reclaim(type, room, H5P_DEFAULT, texts);
    H5Sclose(room);
}

/// Access for writing: no lock, as for reading. Format bounds V110: metadata carries checksums.
static inline hid_t rh5_access_write(void) {
    hid_t list = H5Pcreate(H5P_FILE_ACCESS);
    if (list < 0) return list;
    if (H5Pset_file_locking(list, 0, 1) < 0 ||
        H5Pset_libver_bounds(list, H5F_LIBVER_V110, H5F_LIBVER_V110) < 0) {
        H5Pclose(list);
        return -1;
    }
    return list;
}

/// Access for reading: no lock (a cache may lie on a read-only disk), external links refused.
static inline herr_t rh5_refuse_link(const char *a, const char *b, const char *c, const char *d,
                                     unsigned *flags, hid_t list, void *data) {
    (void)a; (void)b; (void)c; (void)d; (void)flags; (void)list; (void)data;
    return -1;
}
static inline hid_t rh5_access_read(void) {
    hid_t list = H5Pcreate(H5P_FILE_ACCESS);
    if (list < 0) return list;
    if (H5Pset_file_locking(list, 0, 1) < 0) {
        H5Pclose(list);
        return -1;
    }
    return list;
}
static inline hid_t rh5_link_access(void) {
    hid_t list = H5Pcreate(H5P_LINK_ACCESS);
    if (list < 0) return list;
    if (H5Pset_elink_cb(list, rh5_refuse_link, NULL) < 0 || H5Pset_nlinks(list, 1) < 0) {
        H5Pclose(list);
        return -1;
    }
    return list;
}

/// Creation lists without time stamps: the same content gives the same bytes.
static inline hid_t rh5_untimed(hid_t list) {
    if (list < 0) return list;
    if (H5Pset_obj_track_times(list, 0) < 0) {
        H5Pclose(list);
        return -1;
    }
    return list;
}
static inline hid_t rh5_create_file_list(void) { return rh5_untimed(H5Pcreate(H5P_FILE_CREATE)); }
static inline hid_t rh5_create_group_list(void) { return rh5_untimed(H5Pcreate(H5P_GROUP_CREATE)); }
static inline hid_t rh5_create_dataset_list(void) {
    hid_t list = rh5_untimed(H5Pcreate(H5P_DATASET_CREATE));
    if (list < 0) return list;
    if (H5Pset_fill_time(list, H5D_FILL_TIME_NEVER) < 0) {
        H5Pclose(list);
        return -1;
    }
    return list;
}

/// An array in one piece whose place in the file is fixed at once.
static inline hid_t rh5_create_contiguous_list(void) {
    hid_t list = rh5_create_dataset_list();
    if (list < 0) return list;
    if (H5Pset_layout(list, H5D_CONTIGUOUS) < 0 || H5Pset_alloc_time(list, H5D_ALLOC_TIME_EARLY) < 0) {
        H5Pclose(list);
        return -1;
    }
    return list;
}

static inline hid_t rh5_default(void) { return H5P_DEFAULT; }
static inline hid_t rh5_file_create(const char *name, hid_t creation, hid_t access) {
    return H5Fcreate(name, H5F_ACC_TRUNC, creation, access);
}
static inline hid_t rh5_file_open(const char *name, hid_t access) {
    return H5Fopen(name, H5F_ACC_RDONLY, access);
}
static inline herr_t rh5_file_flush(hid_t file) { return H5Fflush(file, H5F_SCOPE_GLOBAL); }

/// Kinds as plain numbers: 0 what we write, 1 anything else.
static inline int rh5_link_is_hard(const H5L_info_t *info) { return info->type == H5L_TYPE_HARD; }
static inline int rh5_object_is_group(const H5O_info_t *info) { return info->type == H5O_TYPE_GROUP; }
static inline int rh5_object_is_dataset(const H5O_info_t *info) {
    return info->type == H5O_TYPE_DATASET;
}
static inline int rh5_layout_is_chunked(hid_t list) { return H5Pget_layout(list) == H5D_CHUNKED; }
static inline int rh5_layout_is_contiguous(hid_t list) {
    return H5Pget_layout(list) == H5D_CONTIGUOUS;
}
static inline int rh5_layout_is_compact(hid_t list) { return H5Pget_layout(list) == H5D_COMPACT; }
static inline int rh5_space_is_simple(hid_t space) { return H5Sget_simple_extent_type(space) == H5S_SIMPLE; }

/// Filters of ours, registered so that HDF5 accepts their ids. Chunks are packed and unpacked
/// outside the library, so its own call of them is always a mistake and fails.
static inline size_t rh5_no_filter(unsigned flags, size_t count, const unsigned values[],
                                   size_t bytes, size_t *size, void **buffer) {
    (void)flags; (void)count; (void)values; (void)bytes; (void)size; (void)buffer;
    return 0;
}
static inline herr_t rh5_register_filter(int id, const char *name) {
    const H5Z_class2_t filter = {
        .version = H5Z_CLASS_T_VERS, .id = id, .encoder_present = 1, .decoder_present = 1,
        .name = name, .can_apply = NULL, .set_local = NULL, .filter = rh5_no_filter,
    };
    return H5Zregister(&filter);
}

/// The text of the innermost error of this thread's stack, in `out` (at most `size` bytes).
struct rh5_message { char *out; size_t size; int found; };
static inline herr_t rh5_take_message(unsigned n, const H5E_error2_t *error, void *data) {
    struct rh5_message *message = (struct rh5_message *)data;
    (void)n;
    if (!message->found && error->desc) {
        message->found = 1;
        size_t i = 0;
        for (; error->desc[i] && i + 1 < message->size; i++) message->out[i] = error->desc[i];
        message->out[i] = 0;
    }
    return 0;
}
static inline void rh5_error_text(char *out, size_t size) {
    struct rh5_message message = {out, size, 0};
    out[0] = 0;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, rh5_take_message, &message);
    H5Eclear2(H5E_DEFAULT);
}
static inline void rh5_silence(void) { H5Eset_auto2(H5E_DEFAULT, NULL, NULL); }
