_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)

# Stem and first stage stand still for one epoch, then train as well.
model = dict(backbone=dict(frozen_stages=1))
custom_hooks = [dict(type='UnfreezeBackboneEpochBasedHook', unfreeze_epoch=1)]
