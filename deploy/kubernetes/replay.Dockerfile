# The replay workers' image: the workers' own, with the bundles in it. Nothing in the cluster can write to them, and a
# rollout is a change of the tag. The folder given is what lies in models/built:
#
#   docker build --tag shadowbus-replay:challenger-4 --file deploy/kubernetes/replay.Dockerfile models/built

FROM shadowbus:0.1.0
COPY . /srv/models
