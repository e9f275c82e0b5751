// A plug-in that passes its sound on until it fails, in the way that its parameter `fault` names and after as
// many seconds as `after` says. What it does while it is loaded is named by MIXAGENT_FAULT in the environment,
// and MIXAGENT_FAULT_VERSION=2 gives it the parameters of a later version.

#include "DistrhoPlugin.hpp"

#include <csignal>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <limits>
#include <unistd.h>
#include <vector>

START_NAMESPACE_DISTRHO

enum Fault {
    kNone, kAbort, kCrash, kLeave, kHang, kNan, kInfinite, kLate, kEndless, kChatter, kLoud, kSilent,
    kMoving, kMemory, kSlow, kFaults
};

enum Control { kFault, kAfter, kGain, kParameters };

static constexpr uint32_t kLateFrames = 300;

static bool isEnvironment(const char* name, const char* value)
{
    const char* found = std::getenv(name);
    return found != nullptr && std::strcmp(found, value) == 0;
}

static void hang()
{
    for (;;)
        usleep(100000);
}

class FaultPlugin : public Plugin
{
public:
    FaultPlugin() : Plugin(kParameters, 0, 0)
    {
        if (isEnvironment("MIXAGENT_FAULT", "hang"))
            hang();
        if (isEnvironment("MIXAGENT_FAULT", "abort"))
            std::abort();
        for (auto& line : fHeld)
            line.assign(kLateFrames, 0.0f);
    }

protected:
    const char* getLabel() const override { return "Fault"; }
    const char* getMaker() const override { return "mixagent"; }
    const char* getLicense() const override { return "ISC"; }
    uint32_t getVersion() const override { return d_version(isLater() ? 2 : 1, 0, 0); }
    int64_t getUniqueId() const override { return d_cconst('m', 'x', 'F', 't'); }

    void initParameter(uint32_t index, Parameter& parameter) override
    {
        parameter.hints = kParameterIsAutomatable;
        switch (index)
        {
        case kFault:
            parameter.name = isLater() ? "Mischief" : "Fault";
            parameter.ranges.max = kFaults - 1;
            break;
        case kAfter:
            parameter.name = "After";
            parameter.unit = "s";
            parameter.ranges.max = 100.0f;
            break;
        case kGain:
            parameter.name = "Gain";
            parameter.unit = "dB";
            parameter.ranges.min = -24.0f;
            parameter.ranges.max = 24.0f;
            break;
        }
        parameter.symbol = parameter.name;
    }

    float getParameterValue(uint32_t index) const override { return fValues[index]; }
    void setParameterValue(uint32_t index, float value) override { fValues[index] = value; }

    void run(const float** inputs, float** outputs, uint32_t frames) override
    {
        const float gain = std::pow(10.0f, fValues[kGain] / 20.0f);
        for (uint32_t channel = 0; channel < 2; ++channel)
            for (uint32_t n = 0; n < frames; ++n)
                outputs[channel][n] = gain * inputs[channel][n];
        fPlayed += frames;
        if (fPlayed > fValues[kAfter] * getSampleRate())
            fail(static_cast<Fault>(static_cast<int>(fValues[kFault] + 0.5f)), outputs, frames);
    }

private:
    bool isLater() const { return isEnvironment("MIXAGENT_FAULT_VERSION", "2"); }

    void fail(Fault fault, float** outputs, uint32_t frames)
    {
        switch (fault)
        {
        case kAbort: std::abort();
        case kCrash: std::raise(SIGSEGV); break;
        case kLeave: _exit(0);
        case kHang: hang(); break;
        case kNan: outputs[0][frames / 2] = std::numeric_limits<float>::quiet_NaN(); break;
        case kInfinite: outputs[1][frames - 1] = std::numeric_limits<float>::infinity(); break;
        case kLate: delay(outputs, frames); break;
        case kEndless: each(outputs, frames, [](float) { return 0.5f; }); break;
        case kChatter: for (;;) std::puts("{\"ok\": true, \"shape\": [2, 1024]}"); break;
        case kLoud: each(outputs, frames, [](float x) { return 100.0f * x; }); break;
        case kSilent: each(outputs, frames, [](float) { return 0.0f; }); break;
        case kMoving: move(outputs, frames); break;
        case kMemory: for (;;) fEaten.emplace_back(1 << 24, 'x'); break;
        case kSlow: usleep(3000000); break;
        default: break;
        }
    }

    template <typename Change> void each(float** outputs, uint32_t frames, Change change)
    {
        for (uint32_t channel = 0; channel < 2; ++channel)
            for (uint32_t n = 0; n < frames; ++n)
                outputs[channel][n] = change(outputs[channel][n]);
    }

    void move(float** outputs, uint32_t frames)
    {
        timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        const float gain = 1.0f + 1e-3f * static_cast<float>(now.tv_nsec % 1000);
        each(outputs, frames, [gain](float x) { return gain * x; });
    }

    void delay(float** outputs, uint32_t frames)
    {
        for (uint32_t channel = 0; channel < 2; ++channel)
            for (uint32_t n = 0; n < frames; ++n)
                std::swap(outputs[channel][n], fHeld[channel][(fAt + n) % kLateFrames]);
        fAt = (fAt + frames) % kLateFrames;
    }

    float fValues[kParameters] = {};
    double fPlayed = 0.0;
    uint32_t fAt = 0;
    std::vector<float> fHeld[2];
    std::vector<std::vector<char>> fEaten;
};

Plugin* createPlugin() { return new FaultPlugin(); }

END_NAMESPACE_DISTRHO
