_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)

img_scale = (1333, 800)  # width, height
train_pipeline = [
    dict(type='Mosaic', img_scale=img_scale, pad_val=114.0),
    # Mosaic makes twice the width and height; the border takes it back.
    dict(
        type='RandomAffine',
        scaling_ratio_range=(0.1, 2),
        border=(-img_scale[0] // 2, -img_scale[1] // 2),
    ),
    dict(type='RandomFlip', prob=0.5),
    # Where the affine left no box, another image is drawn.
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=False),
    dict(type='PackDetInputs'),
]
dataset = _base_.train_dataloader.dataset
dataset.pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
]
dataset.filter_cfg.filter_empty_gt = False
train_dataloader = dict(
    # All images have one size: nothing to sort by aspect ratio.
    batch_sampler=None,
    dataset=dict(
        _delete_=True,
        type='MultiImageMixDataset',
        dataset=dataset,
        pipeline=train_pipeline,
    ),
)
