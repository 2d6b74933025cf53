"""Which solutions there are: a row each, of which ``generate.py`` makes the files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One solution: its file is ``<group>/<op type>/<name>.json``; ``folder`` is ``<op type>/<...>_<language>``."""

    group: str
    name: str
    definition: str
    folder: str
    entry_point: str
    destination_passing: bool

    @property
    def language(self) -> str:
        return self.folder.rpartition("_")[2]

    @property
    def path(self) -> Path:
        return Path(self.group) / Path(self.folder).parent / f"{self.name}.json"


def _attention(group: str, label: str, heads: str, page_sizes: dict[int, str]) -> list[Row]:
    """The attention solutions fit any sizes; these are the rows for the definitions of ``heads``."""
    rows = []
    for language, suffix, passing in (("python", "py", False), ("cpp", "cc", True), ("triton", "py", True)):
        for page_size, entry in page_sizes.items():
            definition, folder = f"gqa_paged_decode_{heads}_ps{page_size}", f"gqa_paged/decode_{language}"
            name = f"gqa_decode_{label}ps{page_size}_{language}"
            rows.append(Row(group, name, definition, folder, f"decode.{suffix}::{entry}", passing))
        definition, folder = f"gqa_ragged_prefill_causal_{heads}", f"gqa_ragged/prefill_{language}"
        name = f"gqa_prefill_{label}{language}"
        rows.append(Row(group, name, definition, folder, f"prefill.{suffix}::prefill_causal", True))
    return rows


def _delta(group: str, label: str, heads: str, stages: str) -> list[Row]:
    """The gated delta nets fit any sizes; these are the rows for the definitions of ``heads``."""
    return [
        Row(
            group,
            f"gdn_{stage}_{label}{language}",
            f"gdn_{stage}_{heads}_k_last",
            f"gdn/delta_{language}",
            f"delta.{suffix}::{stage}",
            passing,
        )
        for language, suffix, passing in (
            ("python", "py", False),
            ("cpp", "cc", True),
            ("triton", "py", True),
        )
        for stage in stages.split()
    ]


def _variants(folder: str, passing: bool, entries: dict[str, tuple[str, str]]) -> list[Row]:
    """Solutions of ``mini`` that share a folder: ``{name: (definition, entry point)}``."""
    language = folder.rpartition("_")[2]
    return [
        Row("mini", f"{name}_{language}", definition, folder, entry_point, passing)
        for name, (definition, entry_point) in entries.items()
    ]


def _sampling(language: str, suffix: str, passing: bool) -> list[Row]:
    kinds = ("top_k", "top_p", "top_k_top_p")
    return _variants(
        f"sampling/sampling_{language}",
        passing,
        {
            f"{kind}_sampling": (f"{kind}_sampling_from_probs_v1000", f"sampling.{suffix}::{kind}_sampling")
            for kind in kinds
        },
    )


def _paged_attention() -> list[Row]:
    """Paged prefill, latent and sparse attention of ``mini``, and of the contest's size for a GPU."""
    gqa, decode = "gqa_paged_prefill_causal_h4_kv2_d64", "mla_paged_decode_h4_ckv64_kpe16"
    prefill, sparse = "mla_paged_prefill_causal_h4_ckv64_kpe16", "dsa_sparse_attention_h4_ckv64_kpe16"
    indexer = "dsa_topk_indexer_fp8_h8_d32_topk32_ps16"
    kinds = {1: "tokens", 16: "pages"}
    rows = []
    for page, kind in kinds.items():
        rows += _variants(
            "gqa_paged/prefill_python",
            True,
            {f"gqa_paged_prefill_ps{page}": (f"{gqa}_ps{page}", f"prefill.py::prefill_{kind}")},
        )
        rows += _variants(
            "mla_paged/latent_python",
            True,
            {
                f"mla_decode_ps{page}": (f"{decode}_ps{page}", f"latent.py::decode_{kind}"),
                f"mla_paged_prefill_ps{page}": (f"{prefill}_ps{page}", f"latent.py::prefill_{kind}"),
            },
        )
        rows += _variants(
            "mla_paged/decode_triton",
            True,
            {f"mla_decode_ps{page}": (f"{decode}_ps{page}", f"decode.py::decode_{kind}")},
        )
    rows += _variants(
        "mla_ragged/prefill_python",
        True,
        {"mla_ragged_prefill": ("mla_ragged_prefill_causal_h4_qk48_vo32", "prefill.py::prefill_causal")},
    )
    for language, passing in (("python", False), ("triton", True)):
        attention, index = f"dsa_paged/sparse_attention_{language}", f"dsa_paged/topk_indexer_{language}"
        entry = "attention.py::sparse_attention"
        rows += _variants(
            attention,
            passing,
            {
                "dsa_attention_ps1": (f"{sparse}_topk32_ps1", entry),
                "dsa_attention_ps16": (f"{sparse}_topk64_ps16", entry),
            },
        )
        rows += _variants(index, True, {"dsa_topk_indexer": (indexer, "indexer.py::topk_indexer")})
        rows += [
            Row("mlsys26", f"dsa_attention_ps64_{language}", CONTEST_SPARSE, attention, entry, passing),
            Row(
                "mlsys26",
                f"dsa_topk_indexer_ps64_{language}",
                CONTEST_INDEXER,
                index,
                "indexer.py::topk_indexer",
                True,
            ),
        ]
    return rows


RMSNORM, FUSED, GEMM = "rmsnorm_h128", "fused_add_rmsnorm_h256", "gemm_n128_k256"
MOE = "moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e32_h256_i128"
CONTEST_SPARSE = "dsa_sparse_attention_h16_ckv512_kpe64_topk2048_ps64"
CONTEST_INDEXER = "dsa_topk_indexer_fp8_h64_d128_topk2048_ps64"
CONTEST_MOE = "moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e32_h7168_i2048"
MAMBA = "mamba_ssu_decode_h4_d16_s32_ng2"
MOE_RENORM = "moe_fp8_block_scale_renorm_topk4_e8_h128_i256"
MOE_VARIANTS = {
    "moe_ungrouped": ("moe_fp8_block_scale_ds_routing_topk8_ng1_kg1_e16_h256_i128", "moe.py::ungrouped"),
    "moe_ungrouped_shard": (
        "moe_fp8_block_scale_ds_routing_topk8_ng1_kg1_e12_h256_i128",
        "moe.py::ungrouped",
    ),
    "moe_renorm_block_scaled": (MOE_RENORM, "moe.py::renorm_block_scaled"),
    "moe_renorm": ("trtllm_fp4_block_scale_moe_topk4_e16_h128_i64", "moe.py::renorm"),
    "moe_routed": ("trtllm_fp4_block_scale_routed_moe_topk4_e16_h128_i64", "moe.py::routed"),
    "moe_llama4": ("trtllm_fp4_block_scale_moe_topk1_e8_h128_i64", "moe.py::llama4"),
    "moe_renorm_per_tensor": (
        "trtllm_fp8_per_tensor_scale_moe_topk4_e16_h128_i64",
        "moe.py::renorm_per_tensor",
    ),
    "moe_llama4_per_tensor": (
        "trtllm_fp8_per_tensor_scale_moe_topk1_e8_h128_i64",
        "moe.py::llama4_per_tensor",
    ),
}
ROPE = "rope_with_cos_sin_cache_neox_style_d64_rd32"

TABLE = [
    # group, name, definition, source folder, entry point, outputs passed as last arguments
    Row("mini", "rmsnorm_python", RMSNORM, "rmsnorm/rmsnorm_python", "rmsnorm.py::rmsnorm", False),
    Row("mini", "rmsnorm_cpp", RMSNORM, "rmsnorm/rmsnorm_cpp", "rmsnorm.cc::rmsnorm", True),
    Row("mini", "rmsnorm_triton", RMSNORM, "rmsnorm/rmsnorm_triton", "rmsnorm.py::rmsnorm", True),
    Row(
        "mini",
        "fused_add_rmsnorm_python",
        FUSED,
        "rmsnorm/fused_add_rmsnorm_python",
        "fused_add_rmsnorm.py::fused_add_rmsnorm",
        True,
    ),
    Row(
        "mini",
        "fused_add_rmsnorm_cpp",
        FUSED,
        "rmsnorm/fused_add_rmsnorm_cpp",
        "fused_add_rmsnorm.cc::fused_add_rmsnorm",
        True,
    ),
    Row("mini", "gemm_python", GEMM, "gemm/gemm_python", "gemm.py::gemm", True),
    Row("mini", "gemm_cpp", GEMM, "gemm/gemm_cpp", "gemm.cc::gemm", True),
    Row("mini", "gemm_triton", GEMM, "gemm/gemm_triton", "gemm.py::gemm", True),
    Row("mini", "moe_fp8_python", MOE, "moe/moe_fp8_python", "moe.py::moe", False),
    Row("mini", "moe_fp8_cpp", MOE, "moe/moe_fp8_cpp", "moe.cc::moe", True),
    Row("mini", "moe_fp8_triton", MOE, "moe/moe_fp8_triton", "moe.py::moe", True),
    *_variants("moe/moe_variants_python", False, MOE_VARIANTS),
    Row("mini", "moe_renorm_block_scaled_cpp", MOE_RENORM, "moe/moe_renorm_cpp", "moe.cc::moe", True),
    Row("mini", "rope_python", ROPE, "rope/rope_python", "rope.py::rope", False),
    Row("mini", "rope_cpp", ROPE, "rope/rope_cpp", "rope.cc::rope", True),
    Row("mini", "rope_triton", ROPE, "rope/rope_triton", "rope.py::rope", True),
    *_sampling("python", "py", False),
    *_sampling("cpp", "cc", True),
    *_attention("mini", "", "h4_kv2_d64", {1: "decode_tokens", 16: "decode_pages"}),
    *_delta("mini", "", "qk2_v4_d32", "decode prefill mtp"),
    Row("mini", "mamba_ssu_python", MAMBA, "mamba_ssu/update_python", "update.py::update", False),
    Row("mini", "mamba_ssu_cpp", MAMBA, "mamba_ssu/update_cpp", "update.cc::update", True),
    Row("mini", "mamba_ssu_triton", MAMBA, "mamba_ssu/update_triton", "update.py::update", True),
    *_paged_attention(),
    # The contest's size, for a GPU
    Row("mlsys26", "moe_fp8_h7168_i2048_python", CONTEST_MOE, "moe/moe_fp8_python", "moe.py::moe", False),
    Row("mlsys26", "moe_fp8_h7168_i2048_triton", CONTEST_MOE, "moe/moe_fp8_triton", "moe.py::moe", True),
    *_delta("mlsys26", "qk4_v8_d128_", "qk4_v8_d128", "decode prefill"),
    # Definitions of FlashInfer-Bench's data set, of which captured workloads are public
    *_attention("official", "h32_kv8_d128_", "h32_kv8_d128", {1: "decode_tokens"}),
]
