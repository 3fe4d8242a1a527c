#!/usr/bin/env bash
# what is set
# apart
echo "going down"
