"""Logs of programs that train on images."""

from __future__ import annotations

from console_logs.log import Expected, log


@log
def mmengine() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(1, 4):
        for i in range(50, 201, 50):
            lines.append(
                f"10/30 22:18:02 - mmengine - INFO - Epoch(train) [{e}][{i:3d}/200]  lr: 1.9870e-04  eta: 2:46:39  time: 2.8906  data_time: 0.0042  memory: 10762  loss: {2.7522 - i / 1000 - e / 10:.4f}  grad_norm: 3.0608"
            )
        lines.append(f"10/30 22:18:02 - mmengine - INFO - Saving checkpoint at {e} epochs")
        for i in (50, 100):
            lines.append(
                f"10/30 22:18:02 - mmengine - INFO - Epoch(val) [{e}][{i}/100]    eta: 0:00:10  time: 0.1  data_time: 0.05  memory: 900"
            )
        lines.append(
            f"10/30 22:18:02 - mmengine - INFO - Epoch(val) [{e}][100/100]    accuracy/top1: 23.9{e}00  accuracy/top5: 66.0500  data_time: 0.0100  time: 0.0500"
        )
    return lines, {"loss": (12, 600), "lr": (12, 600), "val:accuracy/top1": (3, 600)}


@log
def mmcv_text() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(1, 4):
        for i in range(50, 201, 50):
            lines.append(
                f"2020-10-28 21:59:07,618 - mmdet - INFO - Epoch [{e}][{i}/207]\tlr: 1.978e-03, eta: 7:16:55, time: 0.352, data_time: 0.141, memory: 2569, loss_cls: 0.4734, acc: 82.07, loss: {2.2364 - i / 500:.4f}"
            )
        lines.append(
            f"2020-10-28 21:59:07,618 - mmdet - INFO - Epoch(val) [{e}][625]\tbbox_mAP: 0.0{e}0, bbox_mAP_50: 0.1000, bbox_mAP_copypaste: 0.010 0.026 0.006 0.002 0.013 0.015"
        )
    return lines, {"loss": (12, 614), "acc": (12, 614), "val:bbox_mAP": (3, 614)}


@log
def mmcv_iter() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for i in range(50, 801, 50):
        lines.append(
            f"2020-10-28 21:59:07,618 - mmseg - INFO - Iter [{i}/80000]\tlr: 9.994e-03, eta: 1 day, 2:46:39, time: 1.2, data_time: 0.008, memory: 2569, decode.loss_ce: 2.4, decode.acc_seg: 12.1, loss: {2.2 - i / 5000:.4f}"
        )
    return lines, {"loss": (16, 800), "decode.loss_ce": (16, 800)}


@log
def detectron2() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for i in range(19, 600, 20):
        eta = "eta: 0:12:34  " if i < 400 else "eta: 1 day, 3:12:34  "
        lines.append(
            f"[11/27 11:04:42 d2.utils.events]:  {eta}iter: {i}  total_loss: {2.3 - i / 1000:.3f}  loss_cls: 0.9  loss_box_reg: 0.5  time: 0.2532  last_time: 0.2400  data_time: 0.0110  last_data_time: 0.0034   lr: 0.0002  max_mem: 2500M"
        )
    return lines, {
        "total_loss": (30, 599),
        "loss_cls": (30, 599),
        "lr": (30, 599),
        "max_mem": (30, 599),
    }


@log
def torchvision_ref() -> tuple[list[str], Expected]:
    lines = [
        "| distributed init (rank 0): env://",
        "Namespace(data_path='/imagenet', model='resnet18', device='cuda', batch_size=32, epochs=90, lr=0.1, momentum=0.9)",
    ]
    for e in range(3):
        for i in range(0, 100, 10):
            lines.append(
                f"Epoch: [{e}]  [{i:4d}/100]  eta: 0:12:34  lr: 0.1  img/s: 234.5  loss: {6.9 - i / 100 - e:.4f} ({7.0:.4f})  acc1: {0.0:.4f} ({0.1:.4f})  acc5: 3.1250 (3.1250)  time: 1.2  data: 0.3  max mem: 1234"
            )
        lines.append(f"Epoch: [{e}] Total time: 0:12:34")
        for i in (0, 10, 19):
            lines.append(
                f"Test:   [{i:3d}/20]  eta: 0:00:34  loss: {6.8 - e:.4f} (6.9000)  acc1: 1.0000 (1.2000)  acc5: 3.1250 (3.1250)  time: 1.2  data: 0.3  max mem: 1234"
            )
        lines += ["Test:  Total time: 0:00:12", f"Test:  Acc@1 {10 + e:.3f} Acc@5 30.123"]
    return lines, {
        "loss": (30, 290),
        "loss_avg": (30, 290),
        "test:loss": (3, 290),
        "test:Acc@1": (3, 290),
    }


@log
def deit() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(2):
        for i in range(0, 100, 10):
            lines.append(
                f"Epoch: [{e}]  [{i:3d}/100]  eta: 0:12:34  lr: 0.000001  loss: {6.9 - i / 100 - e:.4f} ({7.0:.4f})  time: 1.2  data: 0.3  max mem: 1234"
            )
        lines.append(f"Epoch: [{e}] Total time: 0:12:34 (0.5 s / it)")
        lines.append("Averaged stats: lr: 0.000001  loss: 6.9100 (6.9100)")
        for i in (0, 10, 19):
            lines.append(
                f"Test:  [{i:2d}/20]  eta: 0:00:34  loss: {6.8 - e:.4f} (6.9000)  acc1: 1.0000 (1.2000)  acc5: 3.1250 (3.1250)  time: 1.2  data: 0.3  max mem: 1234"
            )
        lines += [
            "Test: Total time: 0:00:12 (0.6 s / it)",
            f"* Acc@1 {0.5 + e:.3f} Acc@5 2.022 loss 6.831",
            f"Accuracy of the network on the 50000 test images: {0.5 + e:.1f}%",
            f"Max accuracy: {0.5 + e:.2f}%",
        ]
    return lines, {"loss": (20, 190)}


@log
def detr() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(2):
        for i in range(0, 100, 10):
            lines.append(
                f"Epoch: [{e}]  [{i:4d}/100]  eta: 12:34:56  lr: 0.000100  class_error: 80.12  loss: {36.1 - i / 10:.4f} (40.1234)  loss_ce: 3.1 (3.2)  loss_bbox_0: 2.1 (2.2)  cardinality_error_unscaled: 93.1 (93.2)  time: 1.2  data: 0.0  max mem: 5123"
            )
    return lines, {"loss": (20, 190), "loss_avg": (20, 190), "loss_bbox_0": (20, 190)}


@log
def imagenet_example() -> tuple[list[str], Expected]:
    lines = ["=> creating model 'resnet18'"]
    for e in range(2):
        for i in range(1, 5005, 500):
            lines.append(
                f"Epoch: [{e}][{i:4d}/5005]\tTime {0.5:6.3f} ({0.9:6.3f})\tData  0.000 ( 0.1)\tLoss {6.9 - i / 5000 - e:.4e} ({7.0:.4e})\tAcc@1 {0.0:6.2f} ({0.1:6.2f})\tAcc@5   1.00 (  0.50)"
            )
        for i in (1, 101, 196):
            lines.append(
                f"Test: [{i:3d}/196]\tTime  0.500 ( 0.9)\tLoss {6.5:.4e} ({6.6:.4e})\tAcc@1   5.00 (  6.00)\tAcc@5   1.00 (  0.50)"
            )
        lines.append(f" *   Acc@1 {12.3 + e:.3f} Acc@5 30.100")
    return lines, {
        "Loss": (22, 10006),
        "Loss_avg": (22, 10006),
        "Acc@1": (22, 10006),
        "test:Loss": (2, 10006),
    }


@log
def mocov2() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(2):
        for i in range(0, 5004, 1000):
            lines.append(
                f"Epoch: [{e}][{i:4d}/5004]\tTime  0.5 ( 0.9)\tData  0.0 ( 0.1)\tLoss {6.9 - i / 5000:.4e} (7.0e+00)\tAcc@1   0.00 (  0.10)\tAcc@5   1.00 (  0.50)"
            )
    return lines, {"Loss": (12, 5004 + 5000)}


@log
def mnist_example() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in (1, 2):
        for i in range(0, 938, 100):
            lines.append(
                f"Train Epoch: {e} [{i * 64}/60000 ({100.0 * i / 938:.0f}%)]\tLoss: {2.3 - i / 1000:.6f}"
            )
        lines.append(
            f"\nTest set: Average loss: {0.0474 / e:.4f}, Accuracy: {9843 + e}/10000 ({98:.0f}%)\n"
        )
    return lines, {
        "Loss": (20, 60000 + 57600),
        "test:Average loss": (2, 117600),
        "test:Accuracy": (2, 117600),
    }


@log
def cifar_tutorial() -> tuple[list[str], Expected]:
    lines = ["Files already downloaded and verified"]
    for e in range(2):
        for i in range(1999, 12000, 2000):
            lines.append(f"[{e + 1}, {i + 1:5d}] loss: {2.2 - i / 10000 - e:.3f}")
    lines += ["Finished Training", "Accuracy of the network on the 10000 test images: 54 %"]
    return lines, {"loss": (12, 24000)}


@log
def timm() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(2):
        for i in range(0, 1252, 50):
            lines.append(
                f"Train: {e} [{i:>4d}/1251 ({100.0 * i / 1250:>3.0f}%)]  Loss: {6.9 - i / 1000:#.3g} (6.95)  Time: 1.234s, {829.5:>7.2f}/s  (1.234s, {829.5:>7.2f}/s)  LR: {1e-4:.3e}  Data: 0.010 (0.020)"
            )
        for i in (0, 50, 97):
            lines.append(
                f"Test: [{i:>4d}/97]  Time: 0.123 (0.124)  Loss:   6.500 ( 6.600)  Acc@1:   5.000 (  6.000)  Acc@5:  12.000 ( 13.000)"
            )
    return lines, {"Loss": (52, None), "test:Loss": (2, None)}


@log
def caffe() -> tuple[list[str], Expected]:
    lines = [
        "I0124 12:41:22.123  4567 solver.cpp:48] Initializing solver from parameters: ",
        "base_lr: 0.01",
        "momentum: 0.9",
        "max_iter: 1000",
        "  lr_mult: 1",
    ]
    for i in range(0, 400, 20):
        if i % 100 == 0:
            lines += [
                f"I0124 12:41:22.123  4567 solver.cpp:330] Iteration {i}, Testing net (#0)",
                f"I0124 12:41:22.123  4567 solver.cpp:397]     Test net output #0: accuracy = 0.{i + 100}",
                "I0124 12:41:22.123  4567 solver.cpp:397]     Test net output #1: loss = 6.9 (* 1 = 6.9 loss)",
            ]
        lines += [
            f"I0124 12:41:22.123  4567 solver.cpp:218] Iteration {i} (1.5 iter/s, 13.3s/20 iters), loss = {6.9 - i / 100:.5f}",
            f"I0124 12:41:22.123  4567 solver.cpp:237]     Train net output #0: loss = {6.8 - i / 100:.5f} (* 1 = {6.8 - i / 100:.5f} loss)",
            f"I0124 12:41:22.123  4567 sgd_solver.cpp:105] Iteration {i}, lr = 0.01",
        ]
    return lines, {
        "loss": (20, 380),
        "lr": (20, 380),
        "Train net output #0: loss": (20, 380),
        "test:Test net output #0: accuracy": (4, 300),
    }


@log
def ultralytics() -> tuple[list[str], Expected]:
    lines = [
        "Ultralytics 8.3.0 🚀 Python-3.10.12 torch-2.4.1 CUDA:0 (Tesla T4, 15102MiB)",
        "                   from  n    params  module                                       arguments                     ",
        "  0                  -1  1       464  ultralytics.nn.modules.conv.Conv             [3, 16, 3, 2]                 ",
        "  1                  -1  1      4672  ultralytics.nn.modules.conv.Conv             [16, 32, 3, 2]                ",
    ]
    for e in range(1, 6):
        lines += [
            "",
            "      Epoch    GPU_mem   box_loss   cls_loss   dfl_loss  Instances       Size",
        ]
        s = ""
        for i in range(1, 11):
            s += f"\r      {e}/5      {2.3}G      {1.2 - i / 100 - e / 10:.3f}      2.345      1.111         50        640: {i * 10}%|{'█' * i}{' ' * (10 - i)}| {i}/10 [00:05<00:00,  1.9it/s]"
        lines.append(s)
        lines += [
            "\r                 Class     Images  Instances      Box(P          R      mAP50  mAP50-95):   0%|          | 0/4 [00:00<?, ?it/s]\r                 Class     Images  Instances      Box(P          R      mAP50  mAP50-95): 100%|██████████| 4/4 [00:01<00:00,  2.1it/s]",
            f"                   all        128        929      0.658      0.521      0.592      {0.4 + e / 100:.3f}",
        ]
    return lines, {"box_loss": (5, 5), "cls_loss": (5, 5), "val:mAP50-95": (5, 5)}


@log
def yolov5() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(4):
        lines += ["", "     Epoch   gpu_mem       box       obj       cls    labels  img_size"]
        lines.append(
            "\r".join(
                f"     {e}/3     3.13G   {0.1 - i / 1000 - e / 100:.5f}   0.06112   0.02371        24       640: {i}%|{'█' * (i // 10):10s}| {i}/100 [00:30<00:00,  3.3it/s]"
                for i in (50, 100)
            )
        )
        lines += [
            "               Class     Images     Labels          P          R     mAP@.5 mAP@.5:.95: 100%|██████████| 4/4 [00:02<00:00,  1.5it/s]",
            f"                 all        128        929      0.658      0.521      0.592      {0.3 + e / 100:.3f}",
        ]
    return lines, {"box": (4, 3), "val:mAP@.5": (4, 3)}


@log
def yolox() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in (1, 2):
        for i in range(10, 101, 10):
            lines.append(
                f"2021-08-01 10:00:00 | INFO     | yolox.core.trainer:257 - epoch: {e}/300, iter: {i}/100, mem: 5000Mb, iter_time: 0.512s, data_time: 0.001s, total_loss: {10.1 - i / 100 - e:.1f}, iou_loss: 4.0, l1_loss: 0.0, conf_loss: 5.1, cls_loss: 1.0, lr: 1.000e-06, size: 640, ETA: 1 day, 2:00:00"
            )
    return lines, {"total_loss": (20, 200), "lr": (20, 200), "iter_time": (20, 200)}


@log
def ppdet() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(2):
        for i in range(0, 100, 20):
            lines.append(
                f"[01/01 10:00:00] ppdet.engine INFO: Epoch: [{e}] [{i:4d}/100] learning_rate: 0.000001 loss: {1.2 - i / 1000:.6f} loss_cls: 0.8 eta: 1 day, 2:00:00 batch_time: 0.5 data_cost: 0.1 ips: 20.1234 images/s"
            )
    return lines, {"loss": (10, 180), "ips": (10, 180)}
