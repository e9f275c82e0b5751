"""What policies learn from: damage with a known original, cases made of it, and the environment.

`mixagent.envs.mixing` registers `mixagent/Mixing-v0` with Gymnasium when it is imported; nothing else
here needs Gymnasium:

    env = gymnasium.make("mixagent.envs.mixing:mixagent/Mixing-v0", cases=…, reward=…)
"""
