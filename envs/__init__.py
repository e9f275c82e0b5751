"""The environment that policies learn in, and its cases: damage with a known original.

`mixagent.envs.mixing` registers `mixagent/Mixing-v0` with Gymnasium when it is imported; nothing else
here needs Gymnasium:

    env = gymnasium.make("mixagent.envs.mixing:mixagent/Mixing-v0", cases=…, reward=…)
"""
