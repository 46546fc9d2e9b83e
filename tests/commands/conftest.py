"""What the commands' tests share."""

from tests.support.workers import brisk as brisk
