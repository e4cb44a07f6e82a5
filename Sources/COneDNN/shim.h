/// The few calls that matrix products need, as plain functions over opaque handles.
#pragma once
#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdint.h>
#include <string.h>

/// How the weights (k, n) of a product lie: as the library chooses, row after row, column after column.
typedef enum { RETORT_ANY, RETORT_ROWS, RETORT_COLUMNS } retort_weights;

/// dst (m, n) f32 = src (m, k) x weights (k, n), or added to dst.
typedef struct {
    int64_t m, n, k;
    /// Both factors are bf16, else f32.
    int is_bf16;
    /// Numbers from one row, and from one column, of src to the next; and from one row of dst to the next.
    int64_t src_row, src_column, dst_row;
    retort_weights weights;
    int accumulate;
} retort_product;

/// A product ready to run.
typedef struct {
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t weights;
    dnnl_primitive_desc_t description;
} retort_matmul;

static inline dnnl_status_t retort_engine(dnnl_engine_t *engine, dnnl_stream_t *stream) {
    dnnl_status_t status = dnnl_engine_create(engine, dnnl_cpu, 0);
    if (status != dnnl_success) return status;
    return dnnl_stream_create(stream, *engine, dnnl_stream_default_flags);
}

static inline dnnl_status_t retort_stream(dnnl_engine_t engine, dnnl_stream_t *stream) {
    return dnnl_stream_create(stream, engine, dnnl_stream_default_flags);
}

/// How many threads the library uses for what the calling thread asks of it, set to `count`; the number
/// before. They are OpenMP's, whose library comes with it. 0, and nothing is set, where it is built
/// without.
static inline int retort_set_threads(int count) {
    int (*get)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "omp_get_max_threads");
    void (*set)(int) = (void (*)(int))dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    if (!get || !set) return 0;
    int before = get();
    if (count > 0) set(count);
    return before;
}

/// Calls `body(context)` on up to `count` of the threads that the library uses for the calling one, which
/// is one of them; 0, and nothing is called, where they are not libgomp's.
static inline int retort_parallel(void (*body)(void *), void *context, int count) {
    // GCC's own entry for `#pragma omp parallel`, part of its ABI since 4.9.
    void (*run)(void (*)(void *), void *, unsigned, unsigned) =
        (void (*)(void (*)(void *), void *, unsigned, unsigned))dlsym(RTLD_DEFAULT, "GOMP_parallel");
    if (!run) return 0;
    run(body, context, (unsigned)count, 0);
    return 1;
}

/// True where the processor multiplies bf16 itself (AVX512_BF16 or better).
static inline int retort_has_bf16(void) {
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    return isa == dnnl_cpu_isa_avx512_core_bf16 || isa == dnnl_cpu_isa_avx512_core_amx;
}

/// The first description whose implementation's name has `wanted` in it; any where `wanted` is NULL.
static inline dnnl_status_t retort_choose(
    dnnl_engine_t engine, const dnnl_matmul_desc_t *desc, const_dnnl_primitive_attr_t attr,
    const char *wanted, dnnl_primitive_desc_t *out) {
    dnnl_primitive_desc_iterator_t choices = NULL;
    dnnl_status_t status = dnnl_primitive_desc_iterator_create(&choices, desc, attr, engine, NULL);
    while (status == dnnl_success) {
        const char *name = "";
        *out = dnnl_primitive_desc_iterator_fetch(choices);
        dnnl_primitive_desc_query(*out, dnnl_query_impl_info_str, 0, &name);
        if (!wanted || strstr(name, wanted)) break;
        dnnl_primitive_desc_destroy(*out);
        status = dnnl_primitive_desc_iterator_next(choices);
    }
    if (choices) dnnl_primitive_desc_iterator_destroy(choices);
    return status;
}

/// `layout` is that of the weights, where it is known; NULL follows `product->weights`. Not
/// dnnl_success where no implementation has `wanted` in its name (NULL: any is right).
static inline dnnl_status_t retort_matmul_create(
    dnnl_engine_t engine, const retort_product *product, const dnnl_memory_desc_t *layout,
    const char *wanted, retort_matmul *out) {
    static const dnnl_format_tag_t tags[] = {dnnl_format_tag_any, dnnl_ab, dnnl_ba};
    const int64_t m = product->m, n = product->n, k = product->k;
    const dnnl_data_type_t type = product->is_bf16 ? dnnl_bf16 : dnnl_f32;
    dnnl_dims_t src = {m, k}, wei = {k, n}, dst = {m, n};
    dnnl_dims_t src_strides = {product->src_row, product->src_column};
    dnnl_dims_t dst_strides = {product->dst_row, 1};
    dnnl_memory_desc_t src_md, wei_md, dst_md;
    dnnl_status_t status = dnnl_memory_desc_init_by_strides(&src_md, 2, src, type, src_strides);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&wei_md, 2, wei, type, tags[product->weights]);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_strides(&dst_md, 2, dst, dnnl_f32, dst_strides);
    if (status != dnnl_success) return status;
    if (layout) wei_md = *layout;
    dnnl_matmul_desc_t desc;
    status = dnnl_matmul_desc_init(&desc, &src_md, &wei_md, NULL, &dst_md);
    if (status != dnnl_success) return status;
    dnnl_primitive_attr_t attr = NULL;
    status = dnnl_primitive_attr_create(&attr);
    if (status != dnnl_success) return status;
    // The library's own scratch memory may serve one thread at a time only.
    status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    dnnl_post_ops_t ops = NULL;
    if (product->accumulate && status == dnnl_success) {
        status = dnnl_post_ops_create(&ops);
        if (status == dnnl_success) status = dnnl_post_ops_append_sum(ops, 1.0f);
        if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attr, ops);
    }
    if (status == dnnl_success)
        status = retort_choose(engine, &desc, attr, wanted, &out->description);
    if (ops) dnnl_post_ops_destroy(ops);
    dnnl_primitive_attr_destroy(attr);
    if (status != dnnl_success) return status;
    out->weights = *dnnl_primitive_desc_query_md(out->description, dnnl_query_weights_md, 0);
    status = dnnl_primitive_create(&out->primitive, out->description);
    if (status != dnnl_success) dnnl_primitive_desc_destroy(out->description);
    return status;
}

static inline void retort_matmul_destroy(retort_matmul *matmul) {
    dnnl_primitive_destroy(matmul->primitive);
    dnnl_primitive_desc_destroy(matmul->description);
}

static inline dnnl_status_t retort_matmul_run(
    dnnl_engine_t engine, dnnl_stream_t stream, const retort_matmul *matmul, void *src,
    void *weights, void *dst) {
    const dnnl_memory_desc_t *src_md =
        dnnl_primitive_desc_query_md(matmul->description, dnnl_query_src_md, 0);
    const dnnl_memory_desc_t *dst_md =
        dnnl_primitive_desc_query_md(matmul->description, dnnl_query_dst_md, 0);
    const dnnl_memory_desc_t *scratch_md =
        dnnl_primitive_desc_query_md(matmul->description, dnnl_query_scratchpad_md, 0);
    dnnl_memory_t a = NULL, b = NULL, c = NULL, scratch = NULL;
    dnnl_status_t status = dnnl_memory_create(&a, src_md, engine, src);
    if (status == dnnl_success) status = dnnl_memory_create(&b, &matmul->weights, engine, weights);
    if (status == dnnl_success) status = dnnl_memory_create(&c, dst_md, engine, dst);
    if (status == dnnl_success)
        status = dnnl_memory_create(&scratch, scratch_md, engine, DNNL_MEMORY_ALLOCATE);
    if (status == dnnl_success) {
        dnnl_exec_arg_t args[4] = {
            {DNNL_ARG_SRC, a},
            {DNNL_ARG_WEIGHTS, b},
            {DNNL_ARG_DST, c},
            {DNNL_ARG_SCRATCHPAD, scratch}};
        status = dnnl_primitive_execute(matmul->primitive, stream, 4, args);
        if (status == dnnl_success) status = dnnl_stream_wait(stream);
    }
    if (a) dnnl_memory_destroy(a);
    if (b) dnnl_memory_destroy(b);
    if (c) dnnl_memory_destroy(c);
    if (scratch) dnnl_memory_destroy(scratch);
    return status;
}

/// Rewrites f32 weights, (k, n) row-major or its transpose (n, k), into the bf16 layout of `to`.
static inline dnnl_status_t retort_reorder(
    dnnl_engine_t engine, dnnl_stream_t stream, int64_t k, int64_t n, int transposed, void *from,
    const dnnl_memory_desc_t *to, void *packed) {
    dnnl_dims_t dims = {k, n};
    dnnl_memory_desc_t md;
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(
        &md, 2, dims, dnnl_f32, transposed ? dnnl_ba : dnnl_ab);
    if (status != dnnl_success) return status;
    dnnl_memory_t a = NULL, b = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t reorder = NULL;
    status = dnnl_memory_create(&a, &md, engine, from);
    if (status == dnnl_success) status = dnnl_memory_create(&b, to, engine, packed);
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&pd, &md, engine, to, engine, NULL);
    if (status == dnnl_success) status = dnnl_primitive_create(&reorder, pd);
    if (status == dnnl_success) {
        dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, a}, {DNNL_ARG_TO, b}};
        status = dnnl_primitive_execute(reorder, stream, 2, args);
        if (status == dnnl_success) status = dnnl_stream_wait(stream);
    }
    if (reorder) dnnl_primitive_destroy(reorder);
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (a) dnnl_memory_destroy(a);
    if (b) dnnl_memory_destroy(b);
    return status;
}
