"""Names of PyTorch's operators that do no contraction, without their trailing underscore.

Operators that PyTorch itself tags as pointwise need no entry, unless it leaves their form in place untagged (`abs_`).
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Work on each element, or normalisation over elements, that keeps the first input's shape.
POINTWISE = _names(
    """copy dropout native_dropout feature_dropout alpha_dropout _prelu_kernel rrelu_with_noise prelu
    log_sigmoid_forward _softmax _safe_softmax _log_softmax softmax native_batch_norm
    _native_batch_norm_legit _native_batch_norm_legit_no_training _native_batch_norm_legit_functional
    _batch_norm_with_update _batch_norm_no_update cudnn_batch_norm native_layer_norm
    native_group_norm _fused_rms_norm rms_norm fill zero bernoulli cumsum cumprod cummax cummin
    logcumsumexp flip roll masked_fill masked_scatter clamp tril triu index_fill index_put
    _index_put_impl index_add scatter scatter_add scatter_reduce index_copy
    _fake_quantize_per_tensor_affine_cachemask_tensor_qparams hardswish mish gelu relu6 rrelu
    threshold abs copysign eq ne ge gt le lt floor_divide true_divide gcd lcm heaviside xlogy complex
    polar renorm embedding_renorm random geometric cauchy log_normal poisson binomial
    _masked_softmax _unsafe_index_put index_reduce put"""
)
#: Of `POINTWISE` and `PLAIN`, those that look values up or move them and compute none.
MOVES = _names(
    """copy fill zero flip roll index_fill index_put _index_put_impl index_copy scatter masked_fill
    masked_scatter tril triu dropout native_dropout feature_dropout alpha_dropout embedding index
    index_select gather take take_along_dim masked_select where one_hot pixel_shuffle
    pixel_unshuffle channel_shuffle stack repeat repeat_interleave tile unbind split
    split_with_sizes unsafe_split unsafe_split_with_sizes chunk unsafe_chunk slice select narrow
    diagonal diag_embed as_strided view_as view_as_real view_as_complex _local_scalar_dense item
    slice_scatter select_scatter nonzero _assert_async _assert_scalar sym_size resize set
    _pack_padded_sequence _pad_packed_sequence _unsafe_index _unsafe_index_put put rot90 block_diag
    diagonal_scatter as_strided_scatter squeeze unsqueeze transpose t swapaxes swapdims lift
    nonzero_static resize_as _assert_tensor_metadata _functional_assert_async _linalg_check_errors"""
)
#: Tensors from nothing but sizes and numbers.
CREATES = _names(
    """empty empty_strided empty_like new_empty new_empty_strided zeros zeros_like new_zeros ones
    ones_like new_ones full full_like new_full arange linspace logspace eye rand rand_like randn
    randn_like randint randint_like randperm scalar_tensor normal uniform exponential tril_indices
    triu_indices"""
)
#: Reductions, look-ups, sorting, interpolation, transforms: no contraction, shapes of their own.
PLAIN = _names(
    """embedding _embedding_bag _embedding_bag_forward_only sum prod mean var std var_mean std_mean
    amax amin aminmax max min argmax argmin any all norm linalg_vector_norm logsumexp median
    nanmedian mode topk sort argsort kthvalue nonzero count_nonzero unique _unique2 unique_dim
    unique_consecutive index index_select gather take take_along_dim masked_select where bucketize
    searchsorted one_hot glu pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle
    upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d
    _upsample_nearest_exact2d _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d
    _upsample_bilinear2d_aa upsample_bicubic2d _upsample_bicubic2d_aa upsample_trilinear3d
    grid_sampler_2d grid_sampler_3d affine_grid_generator col2im max_unpool2d max_unpool3d _fft_c2c
    _fft_r2c _fft_c2r stack repeat repeat_interleave tile unbind split split_with_sizes unsafe_split
    unsafe_split_with_sizes chunk unsafe_chunk slice select narrow diagonal diag_embed as_strided
    view_as view_as_real view_as_complex _local_scalar_dense item is_nonzero equal allclose
    isin histc bincount multinomial cross slice_scatter select_scatter diff trace
    _assert_async _assert_scalar sym_size resize set _pack_padded_sequence
    _weight_norm_interface _weight_norm
    _pad_packed_sequence nansum dist addr rot90 block_diag diagonal_scatter as_strided_scatter
    _unsafe_index nonzero_static resize_as lift unfold_backward _is_all_true _is_any_true
    _assert_tensor_metadata _functional_assert_async _linalg_check_errors unique_dim_consecutive
    segment_reduce mse_loss smooth_l1_loss huber_loss soft_margin_loss binary_cross_entropy
    binary_cross_entropy_with_logits nll_loss_forward nll_loss2d_forward multi_margin_loss
    multilabel_margin_loss_forward _ctc_loss squeeze unsqueeze transpose t swapaxes swapdims"""
)
#: Of `POINTWISE`, those that treat each position of a map by itself (normalisations by stored statistics).
BY_POSITION = _names(
    """dropout native_dropout _prelu_kernel log_sigmoid_forward native_batch_norm
    _native_batch_norm_legit_no_training _batch_norm_no_update local_response_norm
    BatchNormalization DequantizeLinear Dropout LRN QuantizeLinear"""
)
