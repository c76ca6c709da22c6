"""Endings by which the recordings in a folder are told from other files."""

SUFFIXES = frozenset(
    """.wav .wave .bwf .flac .ogg .oga .ogx .ogv .opus .spx .mp3 .mp2 .mp1 .aif .aiff .aifc .au .snd
    .caf .w64 .rf64 .voc .sph .nist .webm .m4a .m4b .aac .adts .mp4 .m4v .mov .3gp .3g2 .qcp .mkv
    .mka .wma .wmv .asf .avi .amr .awb .gsm .dss .ac3 .eac3 .dts .wv .ape .tta .mpc .dsf .dff .mpg
    .mpeg .ts .mts .m2ts .vob .mxf .flv .f4v""".split()
)
"""Endings of the files taken from a folder; a file named by itself may have any ending."""

UNREADABLE = {
    ".wac": "Wildlife Acoustics",
    ".w4v": "Wildlife Acoustics",
    ".sud": "Ocean Instruments",
    ".dvf": "Sony",
    ".msv": "Sony",
    ".ds2": "Olympus",
}
"""Endings of recordings in codings that no free decoder knows, with the maker whose program
converts them."""

OTHERS = frozenset(
    """.txt .csv .tsv .json .jsonl .ndjson .xml .yaml .yml .toml .ini .cfg .log .md .rst .pdf .doc
    .docx .xls .xlsx .ods .odt .html .htm .css .js .py .r .rmd .ipynb .sh .bat .m .c .h .jpg .jpeg
    .png .gif .bmp .tif .tiff .webp .heic .svg .db .sqlite .parquet .npz .npy .mat .pkl .zip .gz
    .tar .7z .rar .bz2 .xz .onnx .pt .gpx .kml .shp .sum .md5 .sha256 .partial .srt .cue .m3u .m3u8
    .pls .pk .sfk .asd .reapeaks .textgrid .aup .aup3""".split()
)
"""Endings of files that hold no audio, or not alone; they are never opened."""
