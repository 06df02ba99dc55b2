"""Backbones that a neck can't take, and one whose maps can't be chosen."""

from torch import nn
from torch.nn.functional import avg_pool2d


class _Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=8, padding=1)


class ChannelsLast(_Odd):
    def forward(self, x):
        return (self.conv(x).permute(0, 2, 3, 1),)


class Vector(_Odd):
    def forward(self, x):
        return (self.conv(x).mean((2, 3)),)


class Single(_Odd):
    def forward(self, x):
        return self.conv(x)


class OneSize(_Odd):
    def forward(self, x):
        return (self.conv(x).view(-1, 8, 28, 28),)


class ThreeMaps(_Odd):
    def forward(self, x):
        x = self.conv(x)
        y = avg_pool2d(x, 2)
        return x, y, avg_pool2d(y, 2)
